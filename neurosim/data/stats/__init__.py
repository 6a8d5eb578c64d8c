"""Statistics of spike trains: rates, intervals, correlations, synchrony, with the definitions of Elephant.

Every function takes `Spikes` and returns arrays by unit; times are in seconds, rates in spikes/s. What is not defined,
such as the variation of a single interval, is NaN. Source: Elephant (Denker et al. 2018), and the papers named.
"""

from .binned import binned_counts as binned_counts
from .binned import correlation_coefficient as correlation_coefficient
from .binned import covariance as covariance
from .binned import cross_correlation_histogram as cross_correlation_histogram
from .binned import population_rate as population_rate
from .intervals import cv as cv
from .intervals import cv2 as cv2
from .intervals import fano_factor as fano_factor
from .intervals import isi as isi
from .intervals import lv as lv
from .intervals import lvr as lvr
from .intervals import mean_firing_rate as mean_firing_rate
from .synchrony import spike_contrast as spike_contrast
from .synchrony import spike_time_tiling_coefficient as spike_time_tiling_coefficient
from .triggered import Triggered as Triggered
from .triggered import spike_triggered as spike_triggered
