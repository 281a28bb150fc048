"""The study: what is searched, where trials are kept, and how a trial is chosen. Knows Optuna."""
