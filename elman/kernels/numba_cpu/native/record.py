"""What functions in machine code that Python calls are told: records of words, which each call reads."""

_SHARED = (
    # functions of Python's C API, and of torch, which inside_torch.py tells of: by their addresses
    "PyObject_CallOneArg",
    "PyLong_FromSsize_t",
    "PyErr_Occurred",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "Py_IncRef",
    "Py_DecRef",
    "data_ptr",
    "storage_size",
    "storage_offset",
    "empty_strided",
    "delete",
    "wrap",
    "tensor",  # bytes from a tensor's object to what torch's functions take
    "none",  # Python's object None
    "start",  # the object that runs a kernel in several threads
    "kernel",  # the address of the kernel if the calling thread alone runs it, else 0
    "dtype",  # torch's number for that of all tensors
    "itemsize",  # bytes of one of their numbers
)

OF_STEP = (
    *_SHARED,
    "PyObject_GetAttr",
    "PyObject_RichCompareBool",
    "PyObject_Call",
    "PyObject_CallNoArgs",
    "PyDict_GetItem",
    "PyContextVar_Get",
    "PyErr_ExceptionMatches",
    "PyErr_Clear",
    "PyErr_Fetch",
    "PyErr_Restore",
    "version_counter",
    "threads_now",
    "modes_now",
    "version",  # bytes from where a version is counted to its number
    "true",  # Python's objects True and RuntimeError
    "runtime_error",
    "acquire",  # of the stream's lock, its arguments (False,), and release
    "without_waiting",
    "release",
    "looks",  # what says whether an input looks as those before
    "asked",  # the variable in which use_backend puts a backend, and what it had
    "backend",
    "layer",
    "parameters",  # the name of its dict of them
    "threads",  # how many torch had
    "x_bytes",  # of an input
    "axes",  # of a result: how many, and the addresses of sizes and strides
    "sizes",
    "strides",
    "plan_0",  # of the two turns
    "plan_1",
    "before_counters",  # bytes from where a plan begins to where kernels count, and of what they count in
    "counters",
    "turn",  # the address of the turn that is next, 0 or 1
    "answers",  # the address of room for what is answered
    "watched",  # how many, and the address of (object, name, what it had) of each
    "at_watched",
    "weights",  # how many, and the address of (name, parameter, address, version) of each
    "at_weights",
)
"""Of a stream's step."""

OF_RUN = (
    *_SHARED,
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyLong_AsSsize_t",
    "PyMem_RawMalloc",
    "PyMem_RawFree",
    "reinterpret",
    "given",  # tensors: how many, and the address of (bytes, numbers) of each
    "at_given",
    "held",  # how many of them, the last ones, have memory of their own, which is held meanwhile
    "one",  # the address of the stride of an array of numbers
    "made",  # tensors: how many, and the address of (axes, address of sizes, address of strides) of each
    "at_made",
    "slots",  # of what Python gets: how many, and the address of which made one each is, from 1; 0: None; -1: the seal
    "at_slots",
    "places",  # addresses in the plan: how many, and the address of (word, which tensor, bytes from where that begins)
    "at_places",
    "weights",  # given by their addresses: how many, and the word of the plan where these begin
    "at_weights",
    "compared",  # whether the seal that the output should have is given
    "seal",  # the word of the plan that says where the seal goes; 0: none is asked for
    "seal_bits",
    "plan",  # the address of the plan without what is filled, and its bytes
    "plan_bytes",
    "scratch_bytes",
)
"""Of a layer's run, forward or back."""

ANSWERS = 3
"""Words of room for what Python's and torch's functions answer through an address."""

INT = 0xFFFFFFFF
"""Of a word that a function returned, what it is where the function returns an int."""

HEAD_OF_BYTES = 32
"""Where the content of an object `bytes` begins, as CPython's headers say: each function is given the address of its
record in such an object."""
