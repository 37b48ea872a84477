"""Files that survive power loss, blocks of a download, archives, object stores."""
