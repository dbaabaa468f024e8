"""The start of the bundled application. It is its own Python, too: ``compressor -m MODULE`` starts the engine."""

import runpy
import sys

if __name__ == "__main__":
    module = "compressor_gui"
    if sys.argv[1:2] == ["-m"]:
        module = sys.argv[2]
        del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
