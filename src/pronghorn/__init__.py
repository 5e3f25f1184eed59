from pronghorn._version import __version__
compiled = False
