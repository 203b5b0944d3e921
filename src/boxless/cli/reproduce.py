"""`boxless reproduce TABLE`: the tables and figures of papers, rebuilt in as many minutes as there are, resumably."""

from cyclopts import App

from boxless.cli import reproduce_gan, reproduce_i2c, reproduce_wsol

app = App(name="reproduce", help="Rebuild a paper's table: cell after cell, within given minutes, beside controls.")
reproduce_gan.register(app)
reproduce_i2c.register(app)
reproduce_wsol.register(app)
