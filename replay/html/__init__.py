"""An audit as one page that needs nothing else: no network, no script. ``page`` puts it together; the other rooms each draw a part."""
