// What depends on the kind of prediction, in one object for each: its text, drawing, explanation and comparison.
import { anomalies } from "./anomalies.js";
import { classes } from "./classes.js";
import { generic } from "./generic.js";
import { labels } from "./labels.js";
import { numbers } from "./numbers.js";
import { state } from "./state.js";

const VIEWS = { classes, labels, numbers, anomalies, generic };

/** That of the model in service. */
export const kind = () => VIEWS[state.card.studio] ?? generic;
