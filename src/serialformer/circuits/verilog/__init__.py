"""Verilog and SystemVerilog, elaborated by Yosys."""
