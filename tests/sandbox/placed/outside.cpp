// A library in a folder of its own, which another one finds by its RUNPATH (folders_test.cpp).
int outside();
int outside() { return 7; }
