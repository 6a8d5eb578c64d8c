"""The toolbox of report pages: `page` renders templates; `charts`, `pixels`, `recordings`, `sections` and `numbers` are
the parts. It knows no kind of run: each kind in `neurosim.app.runs` has its own page.
"""
