"""Chunks: whatever is written is read back by HDF5, empty ones take no room, and damage is found in each kind."""

import h5py
import numpy as np
import pytest

from hga_cli.data.store.chunks import EDGE, NOT_COMPRESSED, checksum, write_chunks


def ball(shape, *, fill=0, dtype=np.int16):
    """Noise inside a ball, ``fill`` outside."""
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij")
    noise = np.random.default_rng(0).integers(1000, 5000, shape)
    return np.where(sum(axis**2 for axis in axes) < 1, noise, fill).astype(dtype)


def written(path, array, fill=0):
    with h5py.File(path, "w") as file:
        write_chunks(file, "image", array, fill)
    return path


def kinds(path):
    """(compressed, as they are) chunks in the file."""
    with h5py.File(path) as file:
        data = file["image"].id
        masks = [data.get_chunk_info(number).filter_mask for number in range(data.get_num_chunks())]
    return masks.count(0), masks.count(NOT_COMPRESSED)


@pytest.mark.parametrize("shape", [(64, 64, 64), (50, 33, 47), (5, 7, 9), (1, 40, 16), (200, 200, 1)], ids=str)
@pytest.mark.parametrize(
    ("dtype", "fill"), [(np.int16, 0), (np.int16, -321), (np.float32, -0.7), (np.uint8, 0)], ids=str
)
def test_what_is_written_is_read(tmp_path, shape, dtype, fill):
    array = ball(shape, fill=fill, dtype=dtype)
    with h5py.File(written(tmp_path / "x.h5", array, array.flat[0])) as file:
        assert file["image"].dtype == dtype
        np.testing.assert_array_equal(file["image"][()], array)


@pytest.mark.parametrize("fill", [0, 7, -1])
def test_chunks_of_nothing_are_not_written(tmp_path, fill):
    array = np.full((70, 40, 33), fill, np.int16)
    path = written(tmp_path / "x.h5", array, fill)
    assert kinds(path) == (0, 0)
    assert path.stat().st_size < 5000
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["image"][()], array)


def test_the_border_is_compressed_and_the_inside_is_not(tmp_path):
    array = np.zeros((3 * EDGE, EDGE, EDGE), np.int16)
    array[:EDGE] = ball((EDGE,) * 3, fill=3)
    array[EDGE, 0, 0] = 5
    assert kinds(written(tmp_path / "x.h5", array)) == (1, 1)


def test_half_empty_image_takes_less_than_two_thirds_of_the_room(tmp_path):
    array = ball((120, 120, 120))
    share = written(tmp_path / "x.h5", array).stat().st_size / array.nbytes
    assert (array != 0).mean() == pytest.approx(0.51, abs=0.01)
    assert share < 0.65


@pytest.mark.parametrize("size", [1, 2, 3, 12, 719, 720, 721, 8192])
@pytest.mark.parametrize("low", [0, 255], ids=["any bytes", "all 255"])
def test_checksum_is_that_of_hdf5(tmp_path, size, low):
    content = np.random.default_rng(size).integers(low, 256, size, dtype=np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", data=content, chunks=(size,), fletcher32=True)
        assert data.id.read_direct_chunk((0,))[1] == content.tobytes() + checksum(content.tobytes())


def test_checksum_of_zeros_is_that_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", data=np.zeros(64, np.uint8), chunks=(64,), fletcher32=True)
        assert data.id.read_direct_chunk((0,))[1] == bytes(64) + checksum(bytes(64))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_flipped_byte_is_found_in_every_chunk(tmp_path, share):
    path = written(tmp_path / "x.h5", ball((40, 40, 40)))
    assert min(kinds(path)) > 2
    with h5py.File(path) as file:
        data = file["image"].id
        chunks = [data.get_chunk_info(number) for number in range(data.get_num_chunks())]
    whole = path.read_bytes()
    for chunk in chunks:
        content = bytearray(whole)
        content[chunk.byte_offset + int(share * chunk.size)] ^= 1
        path.write_bytes(bytes(content))
        with h5py.File(path) as file, pytest.raises(OSError, match="read"):
            file["image"][()]
