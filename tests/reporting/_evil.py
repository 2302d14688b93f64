"""A name that tries to be code."""

EVIL = "<script>window.evil=1</script><img src=http://evil.example/x onerror='window.evil=2'>\"&amp;"
"""What no page may ever run, load or lose."""
