"""What people do to production by hand."""
