"""How a model breaks: attacks that follow its gradient, and images that fool it."""

from clearsight.attacks.curve import EPSILONS, AttackCurve, attack
from clearsight.attacks.fooling import Fooling, fool
from clearsight.attacks.gradient import fgsm, pgd
from clearsight.attacks.single import Attacked, attack_one

__all__ = ["EPSILONS", "AttackCurve", "Attacked", "Fooling", "attack", "attack_one", "fgsm", "fool", "pgd"]
