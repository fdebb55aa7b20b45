// What depends on the kind of answer, in one object for each: how it is said, drawn, explained and compared, and which
// parts of the page are `without` sense for it.
import { anomalies } from "./anomalies.js";
import { classes } from "./classes.js";
import { labels } from "./labels.js";
import { numbers } from "./numbers.js";
import { state } from "./state.js";

const KINDS = { classification: classes, multilabel: labels, regression: numbers, anomaly: anomalies };

/** That of the model in service. */
export const kind = () => KINDS[state.card.task];
