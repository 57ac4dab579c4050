# cython: language_level=3
# cython: freethreading_compatible=True
"""Files that are cut off while they are mapped to memory: an error, where the system would end the process.

What a file no longer has cannot be read, and whoever tries is sent SIGBUS. If the file is watched, zeros come into the
place of what is lost, to the end of the map, so that whoever reads goes on; and it is noted. The main thread raises the
error as soon as it is back in Python; other threads are to look at `Watch.lost`, and if they do not, the error has been
printed. (libwayland reads the memory of its clients in this way.)
"""

from threading import Lock, get_ident
from weakref import WeakSet

from libc.stdlib cimport calloc


cdef extern from *:
    """
    typedef struct sgdkit_map {
        /* From `begin` to `end`, which are the same where nothing is watched. */
        volatile size_t begin, end;
        volatile int lost;
        /* Which thread was the first to ask for what is lost. */
        volatile unsigned long reader;
        struct sgdkit_map *next;
    } sgdkit_map;

    /* Signals come at any time: maps are never taken out of the list, and what they hold is of use to others later. */
    static sgdkit_map *sgdkit_maps = NULL;

    #if defined(__unix__) || defined(__APPLE__)
    #include <errno.h>
    #include <pthread.h>
    #include <signal.h>
    #include <sys/mman.h>
    #include <unistd.h>

    static struct sigaction sgdkit_others;
    static int (*sgdkit_tell)(void *) = NULL;
    static size_t sgdkit_page = 1;

    static int sgdkit_replaced(size_t address) {
        size_t first = address / sgdkit_page * sgdkit_page;
        sgdkit_map *map;
        for (map = sgdkit_maps; map != NULL; map = map->next)
            if (map->begin <= address && address < map->end) {
                if (mmap((void *) first, map->end - first, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0)
                    == MAP_FAILED)
                    return 0;
                if (!map->lost) {
                    map->reader = (unsigned long) pthread_self();
                    map->lost = 1;
                    Py_AddPendingCall(sgdkit_tell, NULL);
                }
                return 1;
            }
        return 0;
    }

    static void sgdkit_on_bus_error(int number, siginfo_t *info, void *context) {
        int before = errno;
        /* Below 0, it was sent by somebody. */
        if (info->si_code > 0 && sgdkit_replaced((size_t) info->si_addr)) {
            errno = before;
            return;
        }
        if (sgdkit_others.sa_flags & SA_SIGINFO)
            sgdkit_others.sa_sigaction(number, info, context);
        else if (sgdkit_others.sa_handler != SIG_DFL && sgdkit_others.sa_handler != SIG_IGN)
            sgdkit_others.sa_handler(number);
        else {
            sigaction(SIGBUS, &sgdkit_others, NULL);
            raise(SIGBUS);
        }
    }

    static void sgdkit_watch(int (*tell)(void *)) {
        struct sigaction ours = {0};
        if (sgdkit_tell != NULL)
            return;
        sgdkit_tell = tell;
        sgdkit_page = (size_t) sysconf(_SC_PAGESIZE);
        ours.sa_sigaction = sgdkit_on_bus_error;
        ours.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigemptyset(&ours.sa_mask);
        sigaction(SIGBUS, &ours, &sgdkit_others);
    }

    /* Maps are of whole pages. */
    static size_t sgdkit_end_of_page(size_t address) {
        return (address + sgdkit_page - 1) / sgdkit_page * sgdkit_page;
    }
    #else
    /* Windows lets nobody cut off a file that is mapped. */
    #define sgdkit_watch(tell)
    #define sgdkit_end_of_page(address) (address)
    #endif
    """
    ctypedef struct sgdkit_map:
        size_t begin, end
        int lost
        unsigned long reader
        sgdkit_map* next

    sgdkit_map* sgdkit_maps
    void sgdkit_watch(int (*tell)(void*) except -1) noexcept
    size_t sgdkit_end_of_page(size_t address) noexcept


lock, watches = Lock(), WeakSet()


cdef class Watch:
    """An eye on the memory that a file is mapped to, as long as this object is there.

    Parameters
    ----------
    array : ndarray
        It is mapped to the file to its end.
    message : str
        Of the error, if something is lost.
    """
    cdef sgdkit_map* map
    cdef readonly str message
    cdef bint told
    cdef object __weakref__

    def __init__(self, array, message):
        global sgdkit_maps
        self.message = message
        with lock:
            sgdkit_watch(&tell)
            self.map = sgdkit_maps
            while self.map != NULL and self.map.end:
                self.map = self.map.next
            if self.map == NULL:
                self.map = <sgdkit_map*> calloc(1, sizeof(sgdkit_map))
                if self.map == NULL:
                    raise MemoryError
                self.map.next, sgdkit_maps = sgdkit_maps, self.map
            self.map.lost = False
            self.map.begin = array.__array_interface__["data"][0]
            self.map.end = sgdkit_end_of_page(self.map.begin + <size_t> array.nbytes)
            watches.add(self)

    def __dealloc__(self):
        if self.map != NULL:
            self.map.end = 0

    @property
    def lost(self):
        """Whether something that the file no longer has was asked for."""
        return bool(self.map.lost)

    @property
    def reader(self):
        """The thread that has asked for it."""
        return self.map.reader

    def is_news(self):
        """Whether something is lost, and this is the first to hear of it."""
        told, self.told = self.told, self.lost
        return self.told and not told


cdef int tell(void* nothing) except -1:
    """Raise in the main thread, where this is called, if it has read what is lost; print the error if another has."""
    for watch in list(watches):
        if watch.is_news():
            if watch.reader == get_ident():
                raise ValueError(watch.message)
            print_error(watch.message)
    return 0


cdef void print_error(message) noexcept:
    """Have the error printed as one that nobody can catch."""
    raise ValueError(message)
