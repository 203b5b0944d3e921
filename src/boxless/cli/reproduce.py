"""`boxless reproduce TABLE`: the tables and figures of papers, rebuilt in as many minutes as there are, resumably."""

from cyclopts import App

from boxless.cli import reproduce_classifiers, reproduce_gan

app = App(name="reproduce", help="Rebuild a paper's table: trial after trial, within given minutes, beside controls.")
reproduce_gan.register(app)
reproduce_classifiers.register(app)
