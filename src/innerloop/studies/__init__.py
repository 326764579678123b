"""Studies: many runs of one learner, whose hyper-parameters are searched on meta-validation tasks alone."""
