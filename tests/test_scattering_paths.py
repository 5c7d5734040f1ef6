import numpy as np
import pytest

from battbeam.scattering_paths import ABSORBERS, NEIGHBOURS, read_feff, scattering_path

FILE = """\
 made up for a test                                            Feff 6L.02
 Abs   Z=28 Rmt= 1.289 Rnm= 1.424 K shell
 Path    1      icalc       2
 -----------------------------------------------------------------------
   {legs}   6.000   2.0800    2.6300   -5.53502 nleg, deg, reff, rnrmav(bohr), edge
        x         y         z   pot at#
      .0000     .0000     .0000  0  28 Ni       absorbing atom
     2.0800     .0000     .0000  1   8 O
    k   real[2*phc]   mag[feff]  phase[feff] red factor   lambda     real[p]@#
   .000  3.0000E+00  5.0000E-01 -3.0000E+00  1.000E+00  1.5000E+01  1.8071E+00
  1.000  2.5000E+00  4.0000E-01  2.0832E+00  9.000E-01  1.2000E+01  2.0000E+00
  2.000  2.0000E+00  3.0000E-01  0.8832E+00  8.000E-01  1.0000E+01  2.7000E+00

"""


@pytest.mark.parametrize("marked", [False, True])
def test_a_file_of_feff_is_read(tmp_path, marked):
    text = FILE.format(legs=2)
    path = tmp_path / "feff0001.dat"
    head = text.index("   .000  3.0")
    commented = "".join(f"#{line}\n" for line in text[:head].splitlines()) + text[head:]
    path.write_text(commented if marked else text)
    read = read_feff(path)
    assert (read.absorber, read.neighbour, read.distance) == ("Ni", "O", 2.08)
    assert read.k.tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_allclose(read.amplitude, [0.5, 0.36, 0.24])
    # 4.5832 and 2.8832 are the same angles as -1.7 and -3.4: no steps of 2 pi.
    np.testing.assert_allclose(read.phase, [0.0, -1.7, -3.4], atol=2e-5)
    assert read.mean_free_path.tolist() == [15.0, 12.0, 10.0]


def test_multiple_scattering_and_other_files_are_refused(tmp_path):
    path = tmp_path / "feff0007.dat"
    path.write_text(FILE.format(legs=3))
    with pytest.raises(ValueError, match=r"feff0007\.dat scatters 2 times; wanted single"):
        read_feff(path)
    path.write_text("a table\n1 2 3\n")
    with pytest.raises(ValueError, match=r"feff0007\.dat is no feffNNNN\.dat"):
        read_feff(path)


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
@pytest.mark.parametrize("absorber", ABSORBERS)
def test_synthetic_paths_are_smooth_and_positive(absorber, neighbour):
    path = scattering_path(absorber, neighbour)
    assert path.k[0] == 0
    assert path.k[-1] == 20
    assert np.all(path.amplitude > 0)
    assert np.all(path.mean_free_path > 3)
    for curve in (path.amplitude, path.phase, path.mean_free_path):
        assert np.abs(np.diff(curve, 2)).max() < 0.02


def test_a_path_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no scattering path from Ni to Xe"):
        scattering_path("Ni", "Xe")
