"""Sparse distributed representations (SDRs), encoders into them, and their exact probabilities."""

from .activity import NearestCodes as NearestCodes
from .activity import activity_codes as activity_codes
from .activity import redundancy as redundancy
from .code import SDR as SDR
from .code import bank as bank
from .code import overlaps as overlaps
from .columns import Columns as Columns
from .encoders import CategoryEncoder as CategoryEncoder
from .encoders import Encoder as Encoder
from .encoders import EventWindowEncoder as EventWindowEncoder
from .encoders import RandomDistributedScalarEncoder as RandomDistributedScalarEncoder
from .encoders import ScalarEncoder as ScalarEncoder
from .expansion import ExpansionEncoder as ExpansionEncoder
from .probability import any_false_positive as any_false_positive
from .probability import false_negative as false_negative
from .probability import false_positive as false_positive
from .probability import overlap_set_size as overlap_set_size
from .probability import union_density as union_density
from .probability import union_false_match as union_false_match
from .probability import union_false_positive as union_false_positive
