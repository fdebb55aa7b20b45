"""How a model breaks: attacks that follow its gradient, and images that fool it."""

from clearsight.adversary import fgsm, pgd
from clearsight.attacks.curve import EPSILONS, AttackCurve, attack
from clearsight.attacks.fooling import Fooling, fool

__all__ = ["EPSILONS", "AttackCurve", "Fooling", "attack", "fgsm", "fool", "pgd"]
