package doctor

// mayWrite is not asked here, where permissions are another matter.
func mayWrite(string) error { return nil }
