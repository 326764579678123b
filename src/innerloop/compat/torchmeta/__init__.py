"""What learn2learn's sinusoid example takes from torchmeta 1.8 (Deleu et al. 2019, https://arxiv.org/abs/1909.06576, MIT).

`from innerloop.compat.torchmeta.toy import Sinusoid`; tasks of all kinds are in `innerloop.tasks`.
"""
