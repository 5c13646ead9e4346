// Division, remainder and power of words that are not constants, for Yosys' techmap: what its writer of AND graphs has
// no gates for. They are written out in operators for which it has some.

// The quotient and the remainder of unsigned numbers, one subtraction a bit of the quotient. A divisor of zero gives a
// quotient of ones, and the dividend as the remainder.
module serialformer_divide (a, b, quotient, remainder);
  parameter WIDTH = 1;
  input [WIDTH-1:0] a, b;
  output [WIDTH-1:0] quotient, remainder;
  wire [WIDTH*(WIDTH+1)-1:0] left; // what is left of the dividend after each step, the last in the lowest bits
  genvar bit_index;
  assign left[WIDTH*WIDTH +: WIDTH] = 0;
  generate
    for (bit_index = WIDTH - 1; bit_index >= 0; bit_index = bit_index - 1) begin : step
      wire [WIDTH:0] taken_down = {left[WIDTH*(bit_index+1) +: WIDTH], a[bit_index]};
      wire [WIDTH+1:0] difference = {1'b0, taken_down} - b;
      assign quotient[bit_index] = !difference[WIDTH+1];
      assign left[WIDTH*bit_index +: WIDTH] = difference[WIDTH+1] ? taken_down[WIDTH-1:0] : difference[WIDTH-1:0];
    end
  endgenerate
  assign remainder = left[WIDTH-1:0];
endmodule

// Rounds towards zero; the remainder has the sign of the dividend.
(* techmap_celltype = "$div $mod" *)
module divide (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  parameter _TECHMAP_CELLTYPE_ = "";
  localparam IS_SIGNED = A_SIGNED && B_SIGNED;
  localparam OPERAND_WIDTH = A_WIDTH > B_WIDTH ? A_WIDTH : B_WIDTH;
  localparam WIDTH = OPERAND_WIDTH > Y_WIDTH ? OPERAND_WIDTH : Y_WIDTH;
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;
  wire [WIDTH-1:0] a, b, quotient, remainder;
  generate
    if (IS_SIGNED) begin
      assign a = {{WIDTH{A[A_WIDTH-1]}}, A};
      assign b = {{WIDTH{B[B_WIDTH-1]}}, B};
    end else begin
      assign a = {{WIDTH{1'b0}}, A};
      assign b = {{WIDTH{1'b0}}, B};
    end
  endgenerate
  wire a_is_negative = IS_SIGNED && a[WIDTH-1];
  wire b_is_negative = IS_SIGNED && b[WIDTH-1];
  serialformer_divide #(.WIDTH(WIDTH)) unsigned_divide (
    .a(a_is_negative ? -a : a),
    .b(b_is_negative ? -b : b),
    .quotient(quotient),
    .remainder(remainder)
  );
  generate
    if (_TECHMAP_CELLTYPE_ == "$div")
      assign Y = a_is_negative != b_is_negative ? -quotient : quotient;
    else
      assign Y = a_is_negative ? -remainder : remainder;
  endgenerate
endmodule

// By squaring. A negative exponent leaves 1 and -1 what they are, or turns -1 round, and makes anything else 0.
(* techmap_celltype = "$pow" *)
module power (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;
  wire [Y_WIDTH*(B_WIDTH+1)-1:0] square, product; // a word a bit of the exponent, and one more
  genvar bit_index;
  generate
    if (A_SIGNED) assign square[Y_WIDTH-1:0] = {{Y_WIDTH{A[A_WIDTH-1]}}, A};
    else assign square[Y_WIDTH-1:0] = {{Y_WIDTH{1'b0}}, A};
    assign product[Y_WIDTH-1:0] = 1;
    for (bit_index = 0; bit_index < B_WIDTH; bit_index = bit_index + 1) begin : step
      wire [Y_WIDTH-1:0] factor = square[Y_WIDTH*bit_index +: Y_WIDTH];
      assign product[Y_WIDTH*(bit_index+1) +: Y_WIDTH] = product[Y_WIDTH*bit_index +: Y_WIDTH] * (B[bit_index] ? factor : 1);
      assign square[Y_WIDTH*(bit_index+1) +: Y_WIDTH] = factor * factor;
    end
    if (B_SIGNED) begin
      wire is_minus_one = A_SIGNED && (&A);
      wire is_one = A == 1 && !is_minus_one;
      wire [Y_WIDTH-1:0] reciprocal = is_one ? 1 : is_minus_one ? (B[0] ? {Y_WIDTH{1'b1}} : 1) : 0;
      assign Y = B[B_WIDTH-1] ? reciprocal : product[Y_WIDTH*B_WIDTH +: Y_WIDTH];
    end else
      assign Y = product[Y_WIDTH*B_WIDTH +: Y_WIDTH];
  endgenerate
endmodule
