"""HTTP/1.1: one client connection, a pooled and a pipelining client over it, the server side, and paging."""
