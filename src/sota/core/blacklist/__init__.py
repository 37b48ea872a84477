"""The blacklist: packages that go to no vehicle any more, though they are registered."""
