"""`neurosim match`: recordings of two senses, and classes that were learned in neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frame.arguments import complete_dataset, count, integers, setting, setting_argument
from ..frame.command import run_command
from ..frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import MatchKind


@run_command()
@setting_argument("seen.name", "[SEEN]", shell_complete=complete_dataset)
@setting_argument("heard.name", "[HEARD]", shell_complete=complete_dataset)
@setting("--seen-root", "seen.root", metavar="DIR", help="Folder with the files of SEEN.")
@setting("--heard-root", "heard.root", metavar="DIR", help="Folder with the files of HEARD.")
@setting("--new", "new", callback=integers, metavar="N,N,..", help="New classes; default each pair in turn.")
@setting("--shots", "shots", callback=integers, metavar="N,N,..", help="Labelled recordings of a new class.")
@count("--each", "each", "Recordings of a class and sense to learn from; default 30.")
def command(options: CommandOptions) -> MatchKind:
    """Match recordings of SEEN with recordings of HEARD, of classes that both have by number.

    Two liquids that do not learn give features, and a projection of each is trained on some classes by contrast. Then
    recordings of new classes are matched from one sense to the other: without any labelled recording of them, beside a
    control with permuted names, and with a few.

    \b
    neurosim match nmnist shd --heard-root FSDD-SHD
    neurosim match nmnist shd --heard-root FSDD-SHD --new 8,9
    """
    from . import KIND

    dataset = "a name of 'neurosim datasets list', or a folder of recordings"
    options.require_argument("seen.name", "SEEN", dataset)
    options.require_argument("heard.name", "HEARD", dataset)
    return KIND
