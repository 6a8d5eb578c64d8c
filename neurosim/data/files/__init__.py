"""Readers and writers of recordings and of saved state, format by format.

    formats            read and write: which format a file has, its reader, its options
    pieces, large, windows   files larger than memory, in pieces and in windows of time
    decoding           `EventDecoder`, the contract of the formats of cameras:
                       cameras (Prophesee), aedat, aedat4 (its bytes: aedat4_packets), streams (AEDAT 3.1, Event
                       Stream), nmnist
    table_events       `TableSource`, the contract of tables of events, whose columns are known by name or by content
                       (tables): csv, csv_guess, numpy_files, array_blocks, mat, mat5, camera_hdf5
    ros, packets       bags of ROS; packets of events over a socket or a pipe
    camera_writers     writers of the formats of cameras
    hdf5               HDF5 of unknown origin, read from its bytes: hdf5_chunks, hdf5_filters, hdf5_heaps, hdf5_rows;
                       on it sonata, samples, shd; bulk writes files larger than memory
    columns, idx, archives   tables with named columns, images of MNIST, zip and tar
    state, arrays, journal   saved state: arrays and settings with a digest, and files that only grow

CONTRIBUTING.md has the recipe of a new format.
"""
