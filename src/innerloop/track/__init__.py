"""Other people's trackers, which follow what a run writes into its folder, each in a process of its own."""
