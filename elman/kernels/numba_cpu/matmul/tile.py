"""Matrix-product tiles: the innermost loops, emitted as LLVM vector instructions.

A tile keeps a block of MR rows by NV vectors of the result in registers while it runs over the inner index, so that one
loaded vector serves MR rows and one loaded scalar serves NV vectors. LLVM does not find this blocking by itself in a
plain loop. Each element of a result is summed in the order of the inner index, in blocks of as many, whatever the tile
it falls into: a row has the same bits in any batch.

Addresses are plain integers (bytes), and rows are reached through tables of row addresses, so that dense, packed,
padded and reversed sequences, and a state that starts again, are the same code.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.emitter import I64, Emitter, First
from elman.kernels.numba_cpu.plan.record import LINE

_LONG = 96  # sums of fewer numbers are done before a line that is asked for could come


def row_tile(
    dtype: type, mr: int, nv: int, longest: int, panels: int = 1, together: int | None = None, blocks: int = 1
) -> Any:
    """C[i] = C_in[i] + A[i] @ B for `mr` rows and `nv` vectors of columns, B packed; or for so many vectors of several
    panels, whole ones, which are `panel_step` bytes apart, `together` of them after another so many: all at once, if
    None.

    The sum, of `longest` numbers at most, starts at 0 and is then added: blocks summed apart lose less to rounding than
    one long chain. Where it is long, the lines that it is added to are asked for before it. Several `blocks`, for
    which k is `longest`, are that many sums one after the other, all at once, and then added in their order.
    """
    vectors = range(nv * panels)
    sets = [vectors[first : first + (together or len(vectors))] for first in vectors[:: together or len(vectors)]]

    @intrinsic
    def tile(
        _: Any, a: Any, b: Any, k: Any, c_in: Any, c: Any, a_offset: Any, c_offset: Any, valid: Any, panel_step: Any
    ) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            a, b, k, c_in, c, a_offset, c_offset, valid, panel_step = arguments
            rows = [e.offset(e.entry(a, i), a_offset) for i in range(mr)]

            def column(j: int) -> Any:
                panel = builder.add(b, builder.mul(panel_step, ir.Constant(I64, j // nv)))
                return e.offset(panel, j % nv * e.width)

            if longest >= _LONG:
                with builder.if_then(builder.icmp_signed(">=", k, ir.Constant(I64, _LONG))):
                    for i in range(mr):
                        e.prefetch(e.offset(e.entry(c_in, i), c_offset), len(vectors))

            for these in sets:
                columns = [column(j) for j in these]

                def step(k: Any, acc: list[list[Any]], columns: list[Any] = columns) -> list[list[Any]]:
                    line, sums = builder.mul(k, ir.Constant(I64, nv * e.width)), []
                    for block in range(blocks):
                        skipped = block * longest
                        numbers = [e.offset(e.offset(r, skipped), k) for r in rows]
                        vectors = [e.offset(e.offset(v, skipped * nv * e.width), line) for v in columns]
                        sums += multiply_adds(e, numbers, vectors, acc[block * mr : (block + 1) * mr])
                    return sums

                sums = e.accumulate([[e.constant(0)] * len(these) for _ in range(mr * blocks)], k, step)

                def add(last: First | None, first: int = these[0], sums: list[list[Any]] = sums) -> None:
                    for i in range(mr):
                        old, new = (e.offset(e.offset(e.entry(t, i), c_offset), first * e.width) for t in (c_in, c))
                        add_vectors(e, old, sums[i::mr], new, last)

                e.for_last(valid, add) if panels == 1 else add(None)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 9), codegen

    return tile


def column_tile(dtype: type, mr: int, nv: int) -> Any:
    """C[i, j] += sum over r of A[r, i] * B[r, j] for `mr` columns of A and `nv` vectors of columns of B, whose rows lie
    one after the other.

    As in row_tile, the sum starts at 0 and is then added, to lines that are asked for before it.
    """

    @intrinsic
    def tile(_: Any, a: Any, a_step: Any, b: Any, count: Any, c: Any, c_step: Any, valid: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            a, a_step, b, count, c, c_step, valid = arguments

            def step(r: Any, acc: list[list[Any]]) -> list[list[Any]]:
                of_a = e.offset(a, builder.mul(r, a_step))
                of_b = e.offset(b, builder.mul(r, ir.Constant(I64, nv * e.width)))
                vectors = [e.offset(of_b, j * e.width) for j in range(nv)]
                return multiply_adds(e, [e.offset(of_a, i) for i in range(mr)], vectors, acc)

            for i in range(mr):
                e.prefetch(e.offset(c, builder.mul(c_step, ir.Constant(I64, i))), nv)

            sums = e.accumulate([[e.constant(0)] * nv for _ in range(mr)], count, step)

            def add(last: First | None) -> None:
                for i, values in enumerate(sums):
                    start = e.offset(c, builder.mul(c_step, ir.Constant(I64, i)))
                    add_vectors(e, start, [values], start, last)

            e.for_last(valid, add)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7), codegen

    return tile


def multiply_adds(e: Emitter, numbers: list[Any], vectors: list[Any], acc: list[list[Any]]) -> list[list[Any]]:
    """acc[i][j] + number i * vector j, which are given by their addresses.

    What is fewer is read first, and the others one at a time, just before they are used: so LLVM keeps the first and
    the sums in registers, and reads nothing twice.
    """
    if len(numbers) < len(vectors):
        held = [e.broadcast(number) for number in numbers]
        columns = []
        for j, place in enumerate(vectors):
            vector = e.load(place)
            columns.append([e.multiply_add(number, vector, row[j]) for number, row in zip(held, acc, strict=True)])
        return [list(row) for row in zip(*columns, strict=True)]
    held, sums = [e.load(place) for place in vectors], []
    for place, row in zip(numbers, acc, strict=True):
        number = e.broadcast(place)
        sums.append([e.multiply_add(number, vector, x) for vector, x in zip(held, row, strict=True)])
    return sums


def gathering_tile(dtype: type, nv: int) -> Any:
    """Writes `nv` vectors of columns of so many rows, which a table leads to, one after the other; 0 where the last
    vector is none."""

    @intrinsic
    def tile(_: Any, table: Any, offset: Any, count: Any, target: Any, valid: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            table, offset, count, target, valid = arguments

            def copy(last: First | None) -> None:
                with cgutils.for_range(builder, count, intp=I64) as loop:
                    row = read_vectors(e, e.offset(e.entry(table, loop.index), offset), nv, last)
                    to = e.offset(target, builder.mul(loop.index, ir.Constant(I64, nv * e.width)))
                    for j, vector in enumerate(row):
                        e.store(vector, e.offset(to, j * e.width))

            e.for_last(valid, copy)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 5), codegen

    return tile


def stack_room(count: int) -> Any:
    """An intrinsic f() that gives the address of so many bytes, the function's own until it returns: what they hold is
    left as it was."""

    @intrinsic
    def room(_: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            with builder.goto_entry_block():
                memory = builder.alloca(ir.ArrayType(ir.IntType(8), count))
            memory.align = LINE
            return builder.ptrtoint(memory, I64)

        return types.intp(), codegen

    return room


def read_vectors(e: Emitter, start: Any, count: int, last: First | None) -> list[Any]:
    """Vectors side by side, of the last perhaps a part."""
    parts = [None] * (count - 1) + [last]
    return [e.load(e.offset(start, j * e.width), part) for j, part in enumerate(parts)]


def add_vectors(e: Emitter, old: Any, terms: list[list[Any]], new: Any, last: First | None) -> None:
    """Writes vectors side by side, to which each of the terms was added in turn, to another place."""
    sums = read_vectors(e, old, len(terms[0]), last)
    for values in terms:
        sums = [e.b.fadd(x, value) for x, value in zip(sums, values, strict=True)]
    parts = [None] * (len(sums) - 1) + [last]
    for j, (total, part) in enumerate(zip(sums, parts, strict=True)):
        e.store_last(total, e.offset(new, j * e.width), part)


def transposing_tile(dtype: type) -> Any:
    """Writes the transpose of a (width, width) block. A row of either is so many numbers after the one before.

    Row i is interleaved with row i + width / 2 into rows 2i and 2i + 1, for all i, log2(width) times: each time the
    first bit of an element's row number becomes the last of its column number, and the other way round.
    """

    @intrinsic
    def tile(_: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            source, source_step, target, target_step = arguments
            width, half = e.width, e.width // 2
            kind = ir.VectorType(ir.IntType(32), width)
            pairs = [lane for i in range(width) for lane in (i, width + i)]
            low, high = ir.Constant(kind, pairs[:width]), ir.Constant(kind, pairs[width:])

            def row(start: Any, step: Any, i: int) -> Any:
                return e.offset(start, builder.mul(step, ir.Constant(I64, i)))

            rows = [e.load(row(source, source_step, i)) for i in range(width)]
            for _ in range(width.bit_length() - 1):
                rows = [
                    builder.shuffle_vector(one, other, lanes)
                    for one, other in zip(rows[:half], rows[half:], strict=True)
                    for lanes in (low, high)
                ]
            for i, vector in enumerate(rows):
                e.store(vector, row(target, target_step, i))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 4), codegen

    return tile
