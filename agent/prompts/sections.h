#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace vortex::agent {

// The wording of facts (facts.h), one function a placeholder of the templates. Markdown, deterministic.
std::string task_section(const nlohmann::json& facts);
std::string geometry_section(const nlohmann::json& facts);
std::string limit_section(const nlohmann::json& facts);
std::string front_section(const nlohmann::json& facts);
std::string parents_section(const nlohmann::json& facts);
std::string others_section(const nlohmann::json& facts);
std::string failures_section(const nlohmann::json& facts);
std::string refused_section(const nlohmann::json& refused);
std::string diagnostics_section(const nlohmann::json& refused);

}  // namespace vortex::agent
