"""The stand-in ShadowTwin: the application that the rehearsal migrates, on the guide's HTTP contract."""
