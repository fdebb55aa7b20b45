// What makes the page interactive: one module for each interaction. The page is whole without any of it.
"use strict";
{
{% include "script/sorting.js" %}
}
{
{% include "script/printing.js" %}
}
{
{% include "script/copying.js" %}
}
{% include "script/pictures.js" %}
{% include "script/opening.js" %}
{
{% include "script/browsing.js" %}
}
{% include "script/matrix.js" %}
{
{% include "script/thresholds.js" %}
}
