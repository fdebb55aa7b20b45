"""With tuned rates, SGD with momentum and Adam are about equally accurate on new images; the rates differ widely.

Adaptive methods were found to generalise worse than SGD with momentum; later work found this where their rates had not
been searched for as well. Here each has the rate and the epoch with the least loss on validation images, and is asked
on others. That SGD generalises better is not confirmed at this size.

Source: Wilson et al. 2017, arXiv:1705.08292; Choi et al. 2019, arXiv:1910.05446. LeNet-5 on Fashion-MNIST, or the
digits where it is not installed.
"""

from dataclasses import replace

import torch

from clearsight.data.loader import to_float
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, clothes, learn, main, percent_axis, plain_log, plt

RATES = {"momentum": (0.01, 0.03, 0.1), "adam": (3e-4, 1e-3, 3e-3)}


def study(short: bool, seed: int) -> Found:
    data = clothes(500 if short else 3000, 400 if short else 3000, seed)
    rows = data.val[len(data.val) // 3 :]
    new, truth = to_float(data.pixels[rows]), data.labels[rows]
    data = replace(data, val=data.val[: len(data.val) // 3])
    tried = {}
    for opt, rates in RATES.items():
        for rate in rates:
            torch.manual_seed(seed)
            body = build_model("lenet5", classes=10, channels=1, img_size=new.shape[2], init="he")
            network, trained = learn(body, data, epochs=2 if short else 8, lr=rate, opt=opt, seed=seed)
            with torch.no_grad():
                right = float((network.eval()(new).argmax(1).numpy() == truth).mean())
            tried[opt, rate] = min(line.val_loss for line in trained.history), right, trained.history
    chosen = {opt: min(rates, key=lambda rate, opt=opt: tried[opt, rate][0]) for opt, rates in RATES.items()}
    right = {opt: tried[opt, rate][1] for opt, rate in chosen.items()}

    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4))
    for opt, colour in (("momentum", BLUE), ("adam", ORANGE)):
        lines = tried[opt, chosen[opt]][2]
        label = f"{'SGD with momentum' if opt == 'momentum' else 'Adam'}, rate {chosen[opt]:g}"
        axes[0].plot([line.epoch for line in lines], [line.train_loss for line in lines], color=colour, label=label)
        axes[0].plot([line.epoch for line in lines], [line.val_loss for line in lines], "--", color=colour)
        axes[1].plot(RATES[opt], [tried[opt, rate][1] for rate in RATES[opt]], "o-", color=colour)
    axes[0].set(xlabel="epoch", ylabel="loss", title="in training, and dashed in validation")
    axes[0].legend()
    axes[1].set(xlabel="rate", ylabel="accuracy on new images", xscale="log", title="whatever the rate")
    plain_log(axes[1].xaxis)
    percent_axis(axes[1].yaxis)

    return Found(
        figure,
        {f"rate chosen, {opt}": f"{rate:g}" for opt, rate in chosen.items()}
        | {f"accuracy on new images, {opt}": f"{percent(share)}" for opt, share in right.items()}
        | {f"the same at rate {rate:g}, {opt}": f"{percent(found[1])}" for (opt, rate), found in tried.items()},
        {
            "on new images they differ by less than two points": abs(right["momentum"] - right["adam"]) < 0.02,
            "the rate of SGD is ten times that of Adam, or more": chosen["momentum"] >= 9.9 * chosen["adam"],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
