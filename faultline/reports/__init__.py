"""What people and programs are shown: one file per format. What came off a wire is shown as data, never obeyed."""
