// A library that lies beside a program and needs one from elsewhere (folders_test.cpp).
int outside();
int beside();
int beside() { return outside(); }
