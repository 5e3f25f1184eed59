# Compiled for the sweep over all connections, and for what each begin and end of one costs; no C types are needed.
