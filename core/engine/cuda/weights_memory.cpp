#include "core/engine/cuda/weights_memory.h"

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>

#include "core/engine/cuda/device.h"

namespace vortex::engine {
namespace {

// The driver's functions. Asked of the runtime, so that a machine without a driver still starts this program.
struct Driver {
  decltype(&cuDeviceGetAttribute) get_attribute = nullptr;
  decltype(&cuGetErrorString) error_string = nullptr;
  decltype(&cuMemGetAllocationGranularity) granularity = nullptr;
  decltype(&cuMemCreate) create = nullptr;
  decltype(&cuMemRelease) release = nullptr;
  decltype(&cuMemAddressReserve) reserve = nullptr;
  decltype(&cuMemAddressFree) free_address = nullptr;
  decltype(&cuMemMap) map = nullptr;
  decltype(&cuMemUnmap) unmap = nullptr;
  decltype(&cuMemSetAccess) set_access = nullptr;
  decltype(&cuMemExportToShareableHandle) export_handle = nullptr;
  decltype(&cuMemImportFromShareableHandle) import_handle = nullptr;
};

constexpr unsigned kDriverVersion = 12000;

template <typename Function>
Status look_up(const char* name, Function& function) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
  const cudaError_t error = cudaGetDriverEntryPointByVersion(name, &found, kDriverVersion, cudaEnableDefault, &result);
#else
  const cudaError_t error = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
  VORTEX_TRY(cuda_status(error, "looking for functions of the driver"));
  if (result != cudaDriverEntryPointSuccess) {
    return environment_error(std::string("the CUDA driver has no ") + name, "update it");
  }
  function = reinterpret_cast<Function>(found);
  return ok_status();
}

Result<Driver> find_driver() {
  Driver driver;
  VORTEX_TRY(look_up("cuDeviceGetAttribute", driver.get_attribute));
  VORTEX_TRY(look_up("cuGetErrorString", driver.error_string));
  VORTEX_TRY(look_up("cuMemGetAllocationGranularity", driver.granularity));
  VORTEX_TRY(look_up("cuMemCreate", driver.create));
  VORTEX_TRY(look_up("cuMemRelease", driver.release));
  VORTEX_TRY(look_up("cuMemAddressReserve", driver.reserve));
  VORTEX_TRY(look_up("cuMemAddressFree", driver.free_address));
  VORTEX_TRY(look_up("cuMemMap", driver.map));
  VORTEX_TRY(look_up("cuMemUnmap", driver.unmap));
  VORTEX_TRY(look_up("cuMemSetAccess", driver.set_access));
  VORTEX_TRY(look_up("cuMemExportToShareableHandle", driver.export_handle));
  VORTEX_TRY(look_up("cuMemImportFromShareableHandle", driver.import_handle));
  return driver;
}

Status driver_status(const Driver& driver, CUresult result, const char* what) {
  if (result == CUDA_SUCCESS) { return ok_status(); }
  const char* reason = nullptr;
  driver.error_string(result, &reason);
  return environment_error(std::string("CUDA failed while ") + what + ": " + (reason != nullptr ? reason : "unknown"));
}

// The current device's memory, as allocations and access rights name it.
Result<CUmemLocation> current_location() {
  int device = 0;
  VORTEX_TRY(cuda_status(cudaGetDevice(&device), "asking for the device"));
  VORTEX_TRY(cuda_status(cudaFree(nullptr), "starting on the device"));  // makes the context current
  CUmemLocation location{};
  location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  location.id = device;
  return location;
}

Result<CUmemAllocationProp> properties_of(const Driver& driver, CUmemLocation location) {
  int by_descriptor = 0;
  VORTEX_TRY(
      driver_status(driver,
                    driver.get_attribute(&by_descriptor,
                                         CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, location.id),
                    "asking whether memory can be shared"));
  if (by_descriptor == 0) { return environment_error("this device cannot share memory by file descriptor"); }
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.location = location;
  return properties;
}

Result<size_t> rounded(const Driver& driver, CUmemLocation location, size_t bytes) {
  VORTEX_ASSIGN(const CUmemAllocationProp properties, properties_of(driver, location));
  size_t unit = 0;
  VORTEX_TRY(driver_status(driver, driver.granularity(&unit, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
                           "asking for the granularity of memory"));
  return (bytes + unit - 1) / unit * unit;
}

// Owns a handle of the driver; a handle is a number, kept as a pointer for shared_ptr's sake.
std::shared_ptr<void> own(const Driver& driver, CUmemGenericAllocationHandle handle) {
  return {reinterpret_cast<void*>(static_cast<uintptr_t>(handle)), [release = driver.release](void* at) {
            release(static_cast<CUmemGenericAllocationHandle>(reinterpret_cast<uintptr_t>(at)));
          }};
}

CUmemGenericAllocationHandle handle_of(const std::shared_ptr<void>& owned) {
  return static_cast<CUmemGenericAllocationHandle>(reinterpret_cast<uintptr_t>(owned.get()));
}

// Puts an allocation into the address space.
Result<std::shared_ptr<void>> map(const Driver& driver, CUmemGenericAllocationHandle handle, size_t bytes,
                                  CUmemLocation location, CUmemAccess_flags rights) {
  CUdeviceptr address = 0;
  VORTEX_TRY(driver_status(driver, driver.reserve(&address, bytes, 0, 0, 0), "reserving addresses"));
  const CUresult mapped = driver.map(address, bytes, 0, handle, 0);
  if (mapped != CUDA_SUCCESS) {
    driver.free_address(address, bytes);
    return driver_status(driver, mapped, "mapping shared memory").error();
  }
  // From here on both are undone together.
  std::shared_ptr<void> data(reinterpret_cast<void*>(address),
                             [unmap = driver.unmap, free_address = driver.free_address, bytes](void* at) {
                               unmap(reinterpret_cast<CUdeviceptr>(at), bytes);
                               free_address(reinterpret_cast<CUdeviceptr>(at), bytes);
                             });
  CUmemAccessDesc access{};
  access.location = location;
  access.flags = rights;
  VORTEX_TRY(driver_status(driver, driver.set_access(address, bytes, &access, 1), "setting the rights to memory"));
  return data;
}

}  // namespace

Result<ExportedMemory> ExportedMemory::make(size_t bytes) {
  VORTEX_ASSIGN(const Driver driver, find_driver());
  VORTEX_ASSIGN(const CUmemLocation location, current_location());
  VORTEX_ASSIGN(const CUmemAllocationProp properties, properties_of(driver, location));
  VORTEX_ASSIGN(const size_t size, rounded(driver, location, bytes));
  CUmemGenericAllocationHandle handle = 0;
  const std::string what = "allocating " + std::to_string(size >> 20) + " MiB to share";
  VORTEX_TRY(driver_status(driver, driver.create(&handle, size, &properties, 0), what.c_str()));
  ExportedMemory memory;
  memory.allocation_ = own(driver, handle);
  memory.bytes_ = bytes;
  VORTEX_ASSIGN(memory.data_, map(driver, handle, size, location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  return memory;
}

Result<Descriptor> ExportedMemory::share() const {
  VORTEX_ASSIGN(const Driver driver, find_driver());
  int descriptor = -1;
  VORTEX_TRY(driver_status(
      driver, driver.export_handle(&descriptor, handle_of(allocation_), CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
      "exporting memory"));
  return Descriptor(descriptor);
}

Result<std::shared_ptr<const char>> map_exported(int descriptor, size_t bytes) {
  VORTEX_ASSIGN(const Driver driver, find_driver());
  VORTEX_ASSIGN(const CUmemLocation location, current_location());
  VORTEX_ASSIGN(const size_t size, rounded(driver, location, bytes));
  CUmemGenericAllocationHandle handle = 0;
  VORTEX_TRY(driver_status(driver,
                           driver.import_handle(&handle, reinterpret_cast<void*>(static_cast<intptr_t>(descriptor)),
                                                CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
                           "importing memory"));
  const std::shared_ptr<void> allocation = own(driver, handle);  // the mapping holds the memory, too
  VORTEX_ASSIGN(const std::shared_ptr<void> data, map(driver, handle, size, location, CU_MEM_ACCESS_FLAGS_PROT_READ));
  return std::shared_ptr<const char>(data, static_cast<const char*>(data.get()));
}

}  // namespace vortex::engine
