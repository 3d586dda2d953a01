"""What people keep of a run: pages to read and to print."""
