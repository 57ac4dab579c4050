/* The moves of a row, for one kind of NUMBER: a template, included once for each of them.

   Left to the compiler, it would look, record by record, whether what is read and what is written overlap. */

#define NAME SGDKIT_JOIN(sgdkit_move_, NUMBER)
#define SMALL SGDKIT_JOIN(sgdkit_small_, NUMBER)
#define LARGE SGDKIT_JOIN(sgdkit_large_, NUMBER)

#define VECTOR NUMBER
#define MOVE SGDKIT_JOIN(NAME, _by_one)
#include "move_tile.h"

#define VECTOR SMALL
#define MOVE SGDKIT_JOIN(NAME, _by_small)
#include "move_tile.h"

#define VECTOR LARGE
#define MOVE SGDKIT_JOIN(NAME, _by_large)
#include "move_tile.h"

static inline SGDKIT_ALWAYS void NAME(
    NUMBER *weights, const int32_t *features, const NUMBER *x, Py_ssize_t n, const NUMBER *moves,
    Py_ssize_t m, Py_ssize_t record
) {
    const Py_ssize_t small = sizeof(SMALL) / sizeof(NUMBER), large = sizeof(LARGE) / sizeof(NUMBER), tile = 3 * large;
    if (m < small) {
        SGDKIT_JOIN(NAME, _by_one)(weights, features, x, n, moves, m, record);
        return;
    }
    if (m < large) {
        SGDKIT_JOIN(NAME, _by_small)(weights, features, x, n, moves, m, record);
        return;
    }
    /* Tiles of three vectors leave those that the last one shares columns with in its own tile. */
    for (; m > 2 * tile; m -= tile, weights += tile, moves += tile)
        SGDKIT_JOIN(NAME, _by_large)(weights, features, x, n, moves, tile, record);
    SGDKIT_JOIN(NAME, _by_large)(weights, features, x, n, moves, m, record);
}

#undef NAME
#undef SMALL
#undef LARGE
#undef NUMBER
