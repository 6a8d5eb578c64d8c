from .base.distribution import needs

try:
    from .app.cli import main
except ModuleNotFoundError as error:
    # A checkout that is run with a Python in which nothing of what it needs is installed.
    raise SystemExit(needs("neurosim", error)) from None

main()
