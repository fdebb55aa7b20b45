"""How a model breaks: attacks that follow its gradient, and images that fool it."""

from clearsight.attacks.curve import EPSILONS, AttackCurve, attack
from clearsight.attacks.fooling import Fooling, fool
from clearsight.attacks.gradient import fgsm, pgd
from clearsight.attacks.report import AttackReport
from clearsight.attacks.single import Attacked, attack_one

__all__ = [
    "EPSILONS",
    "AttackCurve",
    "AttackReport",
    "Attacked",
    "Fooling",
    "attack",
    "attack_one",
    "fgsm",
    "fool",
    "pgd",
]
