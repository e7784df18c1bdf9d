package connect

// closeInherited does nothing: Windows does not share connections, so there is no keeper.
func closeInherited() {}
