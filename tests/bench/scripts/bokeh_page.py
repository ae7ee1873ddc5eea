"""The floor of a report: the rows read, and Bokeh's own page of one matrix a model, nothing else."""

import sys

from bokeh.embed import file_html
from bokeh.layouts import row
from bokeh.plotting import figure
from bokeh.resources import INLINE

import classrel_db
from classrel_db.maths import unit
from classrel_db.storage import arrays

database, output = sys.argv[1:]
with classrel_db.open(database) as catalog:
    connection = catalog._database.reader()
    figures = []
    for model in catalog._known_now().lookup.models():
        U = unit(arrays.rows(connection, model)).astype("float32")
        arrays.stored_neighbors(connection, model, 100)
        drawn = figure(x_range=(0, len(U)), y_range=(0, len(U)))
        drawn.image([U @ U.T], x=0, y=0, dw=len(U), dh=len(U))
        figures.append(drawn)
with open(output, "w", encoding="utf-8") as page:
    page.write(file_html(row(figures), INLINE, "floor"))
