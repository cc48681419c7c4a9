"""Mail: reading it, telling what it is, writing and sending it.

Nothing is imported here, so that ``vrt.mail.quote`` (used to show a ticket) does not load the
libraries that reading a mail needs.
"""
