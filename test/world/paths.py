"""Where the scripts lie that this folder shares with others; importing this makes their modules known.
SPDX-License-Identifier: MIT"""
import os
import sys

SOURCE = os.path.dirname(os.path.abspath(__file__))
REAL = os.path.join(SOURCE, "../real")
LAB = os.path.join(SOURCE, "../../bench/lab")
sys.path += [REAL, LAB]
