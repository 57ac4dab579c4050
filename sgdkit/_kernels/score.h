/* The scores of a row, for one kind of NUMBER and of INDEX: a template, included once for each pair of them. */

#define NAME SGDKIT_JOIN(SGDKIT_JOIN(sgdkit_score_, NUMBER), SGDKIT_JOIN(_, INDEX))
#define SMALL SGDKIT_JOIN(sgdkit_small_, NUMBER)
#define LARGE SGDKIT_JOIN(sgdkit_large_, NUMBER)

#define VECTOR NUMBER
#define SCORE SGDKIT_JOIN(NAME, _by_one)
#include "score_tile.h"

#define VECTOR SMALL
#define SCORE SGDKIT_JOIN(NAME, _by_small)
#include "score_tile.h"

#define VECTOR LARGE
#define SCORE SGDKIT_JOIN(NAME, _by_large)
#include "score_tile.h"

static inline SGDKIT_ALWAYS void NAME(
    const NUMBER *weights, const INDEX *features, const NUMBER *x, Py_ssize_t n, NUMBER *scores,
    Py_ssize_t m, Py_ssize_t record
) {
    const Py_ssize_t small = sizeof(SMALL) / sizeof(NUMBER), large = sizeof(LARGE) / sizeof(NUMBER), tile = 4 * large;
    if (m < small) {
        SGDKIT_JOIN(NAME, _by_one)(weights, features, x, n, scores, m, record);
        return;
    }
    if (m < large) {
        SGDKIT_JOIN(NAME, _by_small)(weights, features, x, n, scores, m, record);
        return;
    }
    /* After tiles of as many columns as there are registers for, the last vector begins among columns of the tile
       before, whose scores are written again. */
    for (; m > tile; m -= tile, weights += tile, scores += tile)
        SGDKIT_JOIN(NAME, _by_large)(weights, features, x, n, scores, tile, record);
    SGDKIT_JOIN(NAME, _by_large)(weights, features, x, n, scores, m, record);
}

#undef NAME
#undef SMALL
#undef LARGE
#undef NUMBER
#undef INDEX
