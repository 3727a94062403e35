/// state/create: a new bus in a folder.
///
/// It is one once its file `bus` has its name. Its log, with the first segment, and the checkpoint
/// it begins with are on the disk by then: a bus without a log has lost it.
#pragma once

#include "replay/image.hpp"
#include "state/open.hpp"

#include <optional>

namespace mmsb::state {

/// What a new bus is made of.
struct NewBus {
    std::optional<replay::Image> image{};  ///< Of Config::from_checkpoint.
};

/// Looks, before anything is made, whether one can be made at `config.path`: nothing else is there,
/// the arena's folder is, the checkpoint is good. Takes no lock and writes nothing. nullopt: there
/// is a bus. Throws NotABus, NewerFormat, Corrupt, Io.
[[nodiscard]] std::optional<NewBus> plan_bus(const Config& config);
/// Makes it in `bus.folder`, and the header known in `bus`. REQUIRES lock.open. Throws NotABus, Io,
/// OutOfSpace; what is there then is made good by the next one who makes it.
void create_bus(Attachment& bus, const OpenOptions& options, const NewBus& plan);

[[noreturn]] void throw_exists(const std::string& path);

}  // namespace mmsb::state
