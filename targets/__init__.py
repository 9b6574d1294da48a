"""Systems under test: ordinary API clients that know nothing of faultline."""
