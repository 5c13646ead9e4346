"""Is this the solution of that four by four sudoku?"""

from __future__ import annotations

from report import report

from serialformer import U1, Array, U, circuit

Grid = Array[Array[U[3], 4], 4]


@circuit
def solves(puzzle: Grid, grid: Grid) -> U1:
    """Every row, column and box of the grid holds 1 to 4, and it agrees with the puzzle, where 0 is an empty cell."""
    boxes = [(row, column) for row in (0, 2) for column in (0, 2)]
    groups = [
        *grid,
        *zip(*grid, strict=True),
        *[[grid[row + i][column + j] for i in range(2) for j in range(2)] for row, column in boxes],
    ]
    complete = all(any(cell == digit for cell in group) for group in groups for digit in range(1, 5))
    rows = zip(puzzle, grid, strict=True)
    agrees = all(all(c == 0 or c == cell for c, cell in zip(clues, cells, strict=True)) for clues, cells in rows)
    return complete and agrees


def main() -> None:
    puzzle = [[1, 0, 0, 0], [0, 0, 3, 0], [0, 4, 0, 0], [0, 0, 0, 2]]
    grid = [[1, 3, 2, 4], [4, 2, 3, 1], [2, 4, 1, 3], [3, 1, 4, 2]]
    found = report(solves, puzzle, grid)
    print(f"answer      {'solved' if found else 'not solved'}  ({'correct' if found == 1 else 'WRONG'})")


if __name__ == "__main__":
    main()
