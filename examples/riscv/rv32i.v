// A processor for RV32I: one instruction a clock cycle, two for a load. The memory is outside.
//
// In every cycle `instruction` is the word at `pc`. A load says in one cycle what it wants (`load`, `address`) and
// finds it in the next at `load_data`, the aligned word, with the same instruction. A store writes those bytes of the
// aligned word `store_data` to which `store_bytes` points. FENCE does nothing. ECALL, EBREAK and what is no instruction
// set `halted`, and the processor stays where it is. Loads, stores and jumps are taken to be aligned.
//
// The registers hold (32 - 1) * 32 bits, pc 30 (it counts words), `waiting` 1.

module rv32i (
    input  wire        clk,
    input  wire [31:0] instruction,
    input  wire [31:0] load_data,
    output wire [31:0] address,
    output wire [31:0] store_data,
    output wire [3:0]  store_bytes,
    output wire        load,
    output wire        halted
);
    reg [31:0] pc = 32'd0;
    reg        waiting = 1'b0;  // the second cycle of a load

    // What the instruction is.
    wire [6:0] opcode = instruction[6:0];
    wire [2:0] funct3 = instruction[14:12];
    wire [4:0] rd = instruction[11:7];
    wire is_lui = opcode == 7'b0110111;
    wire is_auipc = opcode == 7'b0010111;
    wire is_jal = opcode == 7'b1101111;
    wire is_jalr = opcode == 7'b1100111;
    wire is_branch = opcode == 7'b1100011;
    wire is_load = opcode == 7'b0000011;
    wire is_store = opcode == 7'b0100011;
    wire is_immediate = opcode == 7'b0010011;
    wire is_register = opcode == 7'b0110011;
    wire is_fence = opcode == 7'b0001111;
    assign halted = !(is_lui | is_auipc | is_jal | is_jalr | is_branch | is_load | is_store | is_immediate | is_register
                      | is_fence);

    // Immediates.
    wire sign = instruction[31];
    wire [31:0] immediate_i = {{20{sign}}, instruction[31:20]};
    wire [31:0] immediate_s = {{20{sign}}, instruction[31:25], instruction[11:7]};
    wire [31:0] immediate_b = {{20{sign}}, instruction[7], instruction[30:25], instruction[11:8], 1'b0};
    wire [31:0] immediate_u = {instruction[31:12], 12'b0};
    wire [31:0] immediate_j = {{12{sign}}, instruction[19:12], instruction[20], instruction[30:21], 1'b0};

    // The register file; x0 is zero.
    wire [31:0] result;
    wire writes = !halted & !is_branch & !is_store & !is_fence & (!is_load | waiting);
`define REGISTER(N) \
    reg [31:0] x``N = 32'd0; \
    always @(posedge clk) if (writes && rd == N) x``N <= result;
    `REGISTER(1)  `REGISTER(2)  `REGISTER(3)  `REGISTER(4)  `REGISTER(5)  `REGISTER(6)  `REGISTER(7)  `REGISTER(8)
    `REGISTER(9)  `REGISTER(10) `REGISTER(11) `REGISTER(12) `REGISTER(13) `REGISTER(14) `REGISTER(15) `REGISTER(16)
    `REGISTER(17) `REGISTER(18) `REGISTER(19) `REGISTER(20) `REGISTER(21) `REGISTER(22) `REGISTER(23) `REGISTER(24)
    `REGISTER(25) `REGISTER(26) `REGISTER(27) `REGISTER(28) `REGISTER(29) `REGISTER(30) `REGISTER(31)
    wire [1023:0] registers = {x31, x30, x29, x28, x27, x26, x25, x24, x23, x22, x21, x20, x19, x18, x17, x16, x15, x14,
                               x13, x12, x11, x10, x9, x8, x7, x6, x5, x4, x3, x2, x1, 32'd0};
    wire [31:0] first = registers[{instruction[19:15], 5'd0} +: 32];
    wire [31:0] second = registers[{instruction[24:20], 5'd0} +: 32];

    // One adder for sums, differences, comparisons and addresses.
    wire [31:0] operand = (is_register | is_branch) ? second : is_store ? immediate_s : immediate_i;
    wire is_arithmetic = is_register | is_immediate;
    wire subtracts = is_branch | (is_arithmetic & (funct3[2:1] == 2'b01)) | (is_register & instruction[30]);
    wire [32:0] sum = {1'b0, first} + {1'b0, operand ^ {32{subtracts}}} + {32'd0, subtracts};
    wire is_below_unsigned = !sum[32];
    wire is_below_signed = first[31] ^ operand[31] ? first[31] : sum[31];
    wire is_equal = sum[31:0] == 32'd0;

    // Shifts, all of them to the right: a left shift goes through it mirrored.
    wire is_left = funct3 == 3'b001;
    wire fill = instruction[30] & first[31];
    wire [31:0] mirrored, shifted, unmirrored;
    genvar place;
    generate
        for (place = 0; place < 32; place = place + 1) begin
            assign mirrored[place] = is_left ? first[31 - place] : first[place];
            assign unmirrored[place] = is_left ? shifted[31 - place] : shifted[place];
        end
    endgenerate
    wire [31:0] by1 = operand[0] ? {fill & !is_left, mirrored[31:1]} : mirrored;
    wire [31:0] by2 = operand[1] ? {{2{fill & !is_left}}, by1[31:2]} : by1;
    wire [31:0] by4 = operand[2] ? {{4{fill & !is_left}}, by2[31:4]} : by2;
    wire [31:0] by8 = operand[3] ? {{8{fill & !is_left}}, by4[31:8]} : by4;
    assign shifted = operand[4] ? {{16{fill & !is_left}}, by8[31:16]} : by8;

    reg [31:0] computed;
    always @* case (funct3)
        3'b000: computed = sum[31:0];
        3'b001, 3'b101: computed = unmirrored;
        3'b010: computed = {31'd0, is_below_signed};
        3'b011: computed = {31'd0, is_below_unsigned};
        3'b100: computed = first ^ operand;
        3'b110: computed = first | operand;
        3'b111: computed = first & operand;
    endcase

    // Memory.
    assign address = {sum[31:2], 2'b00};
    assign load = is_load & !waiting;
    wire [1:0] offset = sum[1:0];
    assign store_data = funct3[1] ? second : funct3[0] ? {2{second[15:0]}} : {4{second[7:0]}};
    assign store_bytes = !is_store ? 4'b0000 : funct3[1] ? 4'b1111 : funct3[0] ? 4'b0011 << offset : 4'b0001 << offset;
    wire [15:0] half = offset[1] ? load_data[31:16] : load_data[15:0];
    wire [7:0] byte_ = offset[0] ? half[15:8] : half[7:0];
    wire extension = !funct3[2] & (funct3[0] ? half[15] : byte_[7]);
    wire [31:0] loaded = funct3[1] ? load_data : funct3[0] ? {{16{extension}}, half} : {{24{extension}}, byte_};

    // What comes of it.
    wire [31:0] after = pc + 32'd4;
    wire [31:0] target = pc + (is_auipc ? immediate_u : is_jal ? immediate_j : immediate_b);
    wire is_taken = funct3[0] ^ (funct3[2] ? (funct3[1] ? is_below_unsigned : is_below_signed) : is_equal);
    assign result = is_lui ? immediate_u
                  : is_auipc ? target
                  : (is_jal | is_jalr) ? after
                  : is_load ? loaded
                  : computed;
    always @(posedge clk) begin
        waiting <= load;
        if (!halted & !load)
            pc <= is_jalr ? {sum[31:2], 2'b00} : (is_jal | (is_branch & is_taken)) ? {target[31:2], 2'b00} : after;
    end
endmodule
