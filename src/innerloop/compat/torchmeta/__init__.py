"""What learn2learn's sinusoid example takes from torchmeta 1.8 (Deleu et al. 2019, MIT).

`from innerloop.compat.torchmeta.toy import Sinusoid`; tasks of all kinds are in `innerloop.tasks`.
"""
