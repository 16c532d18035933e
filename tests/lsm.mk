.PHONY: test-lsm

test-lsm: export CATENA_VM_MACHINES := apparmor selinux
test-lsm: dist ## run priv-drop on a kernel with AppArmor and an old Landlock, and with SELinux and none
	CATENA_BIN=dist tests/vm/run lsm_apparmor lsm_landlock lsm_selinux
