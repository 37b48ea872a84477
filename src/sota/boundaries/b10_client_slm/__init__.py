"""B10: the SOTA Client and the Software Loading Manager, both ways."""
